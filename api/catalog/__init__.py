"""Models: what a training needs and what of it is here (`service`). Entered through `service`."""
