"""Tests of the road to the cloud: Terraform, `deploy.sh`, the bundles."""
