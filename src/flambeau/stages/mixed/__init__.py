"""Tables with columns of pictures: what the model is fed, its parts, and what each kind of column tells alone."""
