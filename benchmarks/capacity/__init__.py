"""What an installation of some size needs, by measured costs and a simulation of its queues."""
