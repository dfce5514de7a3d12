"""What memstill carries, each figure beside a ceiling that is measured in the same run."""
