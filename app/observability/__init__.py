"""What operators see of the service: metrics, log lines, traces."""
