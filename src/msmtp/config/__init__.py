"""What the user wants: configuration files, the command line, and the one account that comes of them."""
