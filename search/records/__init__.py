"""What is stored: candidates, evaluations, exports, and where each lies."""
