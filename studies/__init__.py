"""Studies of accuracy on digital twins. Each module is a command, ``python -m studies.<name>``."""
