"""Programs that run on the cluster's login host as a user. They print JSON."""
