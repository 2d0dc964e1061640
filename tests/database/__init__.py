"""The database under fire: what a restore leaves when it is broken off, and how long it takes when it is not."""
