"""The programs that preprocess media and write captions."""
