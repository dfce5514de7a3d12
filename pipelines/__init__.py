"""What memstill does: pure stages, flows that read and commit, adapters to the world."""
