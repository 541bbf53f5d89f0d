# What deploy.sh and a person need to know.

output "agents" {
  description = "The names that dispatch accepts."
  value       = local.agent_names

  precondition {
    condition     = length(setintersection(local.agent_names, ["results", "callbacks", "ticks", "dead"])) == 0
    error_message = "No agent may be called results, callbacks, ticks or dead: sub-NAME is the subscription of that hop."
  }
}

output "base_url" {
  description = "The one public URL in front of all endpoints; empty without a domain."
  value       = var.domain == "" ? "" : "https://${var.domain}"
}

output "dns" {
  description = "The address that the domain's A record must have; null without a domain."
  value       = one([for each in google_compute_global_address.public : each.address])
}

output "functions" {
  description = "How each function is deployed, by its target. Known in a plan: deploy.sh reads it before it applies."
  value       = local.functions
}

output "indexes" {
  description = "The composite indexes and the fields that keep a single-field index."
  value       = { composite = local.indexes, single = local.searched, exempt = local.exempt }
}

output "push_service_account" {
  description = "The account whose token every push carries: what an agent that runs elsewhere must expect."
  value       = local.push_email
}

output "routes" {
  description = "Which function answers which path of the public URL: the first that matches; the console all others."
  value       = local.routes
}
