"""Downloads of models as work under a supervisor: `trainer` is what starts it, `program` is what runs."""
