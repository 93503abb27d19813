"""How a network learns: what it is, what it sees, what is chosen, and what is kept."""
