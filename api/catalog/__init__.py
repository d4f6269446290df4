"""The model catalog, the library of saved models, and transfers from and to hubs."""
