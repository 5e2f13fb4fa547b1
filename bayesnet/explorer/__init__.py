"""The network one can touch: the same page in a notebook (`widget`) and on its own (`server`)."""
