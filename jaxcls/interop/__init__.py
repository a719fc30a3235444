"""Neighbours: what jaxcls shares with other libraries, none of which it imports."""
