"""The known causes of failures, one module per subject. `failures/known_causes.py` collects them."""
