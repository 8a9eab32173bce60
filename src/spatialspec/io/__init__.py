"""Files: read with limits and checked, written whole or not at all; what they hold, and who may write them."""
