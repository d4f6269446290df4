"""Programs beside the trainings on the GPUs: registered, foreign, and neighbours that can be asked to leave."""
