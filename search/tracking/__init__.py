"""MLflow: a study as a parent run, a trial as a child run, models as versions."""
