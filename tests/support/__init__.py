"""What several tests share: running gateways, Redis servers, clients."""
