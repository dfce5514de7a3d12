"""Ports in memory and a scripted model: for tests of memstill and of what is built on it."""
