# What deploy.sh gives each function: its size, its identity and its environment.

locals {
  account = { for target, service in local.service : target => "fn-${service}" }
  # Spelled out, not read from the resource: deploy.sh wants it from a plan, before the first apply.
  email      = { for target, id in local.account : target => "${id}@${var.project_id}.iam.gserviceaccount.com" }
  push_email = "pubsub-push@${var.project_id}.iam.gserviceaccount.com"

  # The pushes that a function receives are checked twice: by Cloud Run's IAM, which verifies the
  # token and strips its signature, and by the function (OIDC_MODE=iam), which holds the claims
  # against this audience and this account, so that no other invoker can push.
  pushed = toset([for hop in values(local.hops) : hop.function if hop.function != null])
  push_environment = {
    for target in local.pushed : target => merge(
      { OIDC_MODE = "iam", PUSH_SERVICE_ACCOUNTS = local.push_email },
      target == "results"
      ? { RESULTS_PUBSUB_VERIFY_OIDC = "true", RESULTS_PUBSUB_AUDIENCE = local.url[target] }
      : { PUBSUB_VERIFY_OIDC = "true", PUBSUB_AUDIENCE = local.url[target] },
    )
  }

  admins = sort([for admin in var.admins : split(":", admin)[1]])

  # An attempt must not outlive its lease: it would run on, fenced, while another one begins.
  lease_margin = 10 # seconds

  agents_environment = merge(
    { AGENTS = join(",", local.agent_names) },
    { for agent, target in local.agents : "AGENT_${upper(replace(agent, "-", "_"))}_URL" => local.url[target] },
  )

  environment = {
    for target in local.targets : target => merge(
      {
        FIRESTORE_DATABASE = var.database
        GCP_PROJECT        = var.project_id
        LOG_LEVEL          = var.log_level
        THREADS            = tostring(local.size[target].concurrency)
      },
      try(local.push_environment[target], {}),
      contains(["console", "dispatch"], target) ? local.agents_environment : {},
      contains(["console", "get_task", "sweep"], target) && local.sharded ? { SHARDED = "true" } : {},
      local.kind[target].clients != null ? { ADMINS = join(",", local.admins) } : {},
      startswith(target, "agent_") ? {
        LEASE_SECONDS = tostring(local.size[target].timeout + local.lease_margin)
        AGENTS        = join(",", local.agent_names)        # whom it may call
        ORCHESTRATORS = lookup(local.email, "dispatch", "") # whose /run may name a task that exists
      } : {},
      try(var.settings[target].environment, {}),
    )
  }

  size = {
    for target, kind in local.kind : target => {
      concurrency   = coalesce(try(var.settings[target].concurrency, null), kind.concurrency)
      cpu           = coalesce(try(var.settings[target].cpu, null), kind.cpu)
      ingress       = coalesce(try(var.settings[target].ingress, null), kind.ingress)
      max_instances = coalesce(try(var.settings[target].max_instances, null), kind.max_instances)
      memory        = coalesce(try(var.settings[target].memory, null), kind.memory)
      min_instances = coalesce(try(var.settings[target].min_instances, null), kind.min_instances)
      timeout       = coalesce(try(var.settings[target].timeout, null), kind.timeout)
    }
  }

  functions = {
    for target in local.targets : target => merge(local.size[target], {
      build_service_account = "projects/${var.project_id}/serviceAccounts/${local.build_email}"
      audience              = local.kind[target].clients != null && var.domain != "" ? "https://${var.domain}" : "" # beside its own URL
      environment           = local.environment[target]
      secrets               = local.secrets[target]
      service               = local.service[target]
      service_account       = local.email[target]
      url                   = local.url[target]
    })
  }
}
