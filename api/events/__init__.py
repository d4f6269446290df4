"""What happens to trainings, told to those who follow it. Entered through `publisher`."""
