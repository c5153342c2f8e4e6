"""The window to the network: TCP, unix sockets, SOCKS, TLS, and the names of servers."""
