"""What a run reveals: attacks on what really crosses, and how near they come."""
