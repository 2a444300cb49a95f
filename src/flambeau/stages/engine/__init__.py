"""How a training is set up for the machine: its parts, its speed, its memory, its processes."""
