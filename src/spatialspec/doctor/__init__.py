"""What is wrong with a checkpoint, its drafts or this machine."""
