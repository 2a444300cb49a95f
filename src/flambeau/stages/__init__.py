"""The steps of the flow that `pipeline` puts in order: material, fitting, judging, keeping."""
