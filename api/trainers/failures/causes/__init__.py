"""The known causes of failures, one module per subject. `failures/catalog.py` collects them."""
