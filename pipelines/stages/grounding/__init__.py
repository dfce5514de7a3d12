"""Whether a transcript supports what a distiller says of it; what it does not is refused."""
