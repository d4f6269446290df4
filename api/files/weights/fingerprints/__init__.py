"""By what the components of models are told apart, as data: `recognise` in the room above asks the `table`."""
