"""Files: checked and limited reading, atomic writing, identity of their contents, locks."""
