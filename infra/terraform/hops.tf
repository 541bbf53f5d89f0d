# The one map: which functions there are, what each may do, and which topic feeds which of them.
# emulators/topology.py is its mirror on a developer's machine; tests/infra hold the two equal.

locals {
  # A function is a folder of functions/, and its name is the target's. A service's name admits no
  # underscore: this is the one place that maps one to the other.
  targets = toset([for file in fileset("${path.module}/../../functions", "*/main.py") : dirname(file)])
  service = { for target in local.targets : target => replace(target, "_", "-") }

  # The URL of a service follows from its name, so that endpoints and audiences are known before
  # anything is deployed.
  url = {
    for target, service in local.service :
    target => "https://${service}-${local.project_number}.${var.region}.run.app"
  }

  # An agent is a folder functions/agent_NAME, or an entry of push_urls.
  agents = {
    for target, service in local.service : trimprefix(service, "agent-") => target if startswith(target, "agent_")
  }
  agent_names = sort(setunion(keys(local.agents), keys(var.push_urls)))

  topics = ["tasks", "results", "callbacks", "ticks", "dead"]

  handlers = {
    sub-results   = { topic = "results", function = "results", path = "/pubsub/results", attempts = 5 }
    sub-callbacks = { topic = "callbacks", function = "callback", path = "/", attempts = 5 }
    sub-ticks     = { topic = "ticks", function = "sweep", path = "/", attempts = null }
    sub-dead      = { topic = "dead", function = "dead_letter", path = "/", attempts = null }
  }

  hops = merge(
    {
      for agent, target in local.agents : "sub-${agent}" => {
        topic    = "tasks"
        function = target
        endpoint = "${local.url[target]}/pubsub/push"
        audience = local.url[target]
        filter   = "attributes.agent=\"${agent}\""
        attempts = 5
      } if !contains(keys(var.push_urls), agent)
    },
    {
      for agent, url in var.push_urls : "sub-${agent}" => {
        topic    = "tasks"
        function = null
        endpoint = url
        audience = url
        filter   = "attributes.agent=\"${agent}\""
        attempts = 5
      }
    },
    {
      # Cloud Run's own check wants the service's URL as the audience, without a path.
      for name, hop in local.handlers : name => {
        topic    = hop.topic
        function = hop.function
        endpoint = "${local.url[hop.function]}${hop.path}"
        audience = local.url[hop.function]
        filter   = ""
        attempts = hop.attempts
      } if contains(local.targets, hop.function)
    },
  )

  # What each function is and may do. `clients`: who may call it, `callers` or `admins` (who may
  # all that callers may); null: only the pushes. `publishes`: the topics it writes to. `database`: its role on Firestore.
  kinds = {
    accounts    = { clients = "admins" } # callers spend, admins say how much
    agent       = { publishes = ["tasks", "results", "callbacks"], concurrency = 8, timeout = 120, max_instances = 100 }
    callback    = { ingress = "internal-only", timeout = 120 }
    cancel_task = { clients = "callers", publishes = ["tasks", "callbacks"] }
    console     = { clients = "admins", publishes = ["tasks", "callbacks"], concurrency = 80, memory = "256Mi" } # an open page holds a request
    dead_letter = { ingress = "internal-only", publishes = ["tasks", "results", "callbacks"], concurrency = 8 }
    dispatch    = { clients = "callers", publishes = ["tasks", "callbacks"], timeout = 120, max_instances = 100 }
    get_task    = { clients = "callers", database = "roles/datastore.viewer", concurrency = 80, timeout = 120, max_instances = 100 }
    results     = { ingress = "internal-only", publishes = ["tasks", "callbacks"], max_instances = 100 }
    sweep       = { ingress = "internal-only", publishes = ["tasks", "callbacks"], concurrency = 1, timeout = 300, max_instances = 2 }
  }
  defaults = {
    clients       = null
    concurrency   = 40
    cpu           = "1"
    database      = "roles/datastore.user"
    ingress       = "all"
    max_instances = 20
    memory        = "512Mi"
    min_instances = 0
    publishes     = []
    timeout       = 60
  }
  kind = {
    for target in local.targets :
    target => merge(local.defaults, try(local.kinds[startswith(target, "agent_") ? "agent" : target], {}))
  }
}
