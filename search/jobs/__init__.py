"""What a worker does with a job."""
