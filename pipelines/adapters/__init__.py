"""The ports, implemented on real drivers; each driver is known in one place only."""
