"""What operators see: metrics, the access log, the application log."""
