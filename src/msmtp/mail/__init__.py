"""The mail itself: its header as fields, whom it is for, what is added to it and taken out of it, and its measures.

Pure: bytes in, values out.  No clock, host name, random number or file is read here; who calls hands them in.
"""
