"""The trainer's arithmetic of datasets: buckets, batches, steps."""
