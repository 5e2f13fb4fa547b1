"""Pictures: the network, and what it says about a patient."""
