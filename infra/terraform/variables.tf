# What a deployment may choose. Only project_id has no default.

variable "admins" {
  description = "Who may set the accounts' limits, redrive, and see every task: users and service accounts, which the functions know by e-mail."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for admin in var.admins : can(regex("^(user|serviceAccount):[^@\\s,]+@[^@\\s,]+$", admin))])
    error_message = "Each of admins must be one person or service account, as in \"user:you@example.com\"."
  }
}

variable "alert_emails" {
  description = "Who is told when an alert of alerts.tf fires; empty: the alerts only show in the console."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for email in var.alert_emails : can(regex("^[^@\\s]+@[^@\\s]+$", email))])
    error_message = "Each of alert_emails must be an e-mail address."
  }
}

variable "callers" {
  description = "IAM members that may dispatch, read and cancel tasks, as in \"group:team@example.com\"; a project's owners may anyway."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for caller in var.callers : can(regex("^(user|group|serviceAccount|domain|principal|principalSet):.+$", caller))])
    error_message = "Each of callers must be an IAM member, as in \"user:you@example.com\"; allUsers is not accepted: these endpoints spend money."
  }
}

variable "database" {
  description = "Firestore database id; one of its own isolates Zantara in a project that has others."
  type        = string
  default     = "(default)"
  nullable    = false

  validation {
    condition     = can(regex("^(\\(default\\)|[a-z][a-z0-9-]{2,61}[a-z0-9])$", var.database))
    error_message = "database must be \"(default)\", or 4 to 63 lower-case letters, digits and hyphens."
  }
}

variable "database_location" {
  description = "Where Firestore keeps its data, for good: a region, or the multi-regions nam5 and eur3; null: the region."
  type        = string
  default     = null

  validation {
    condition     = var.database_location == null || can(regex("^(nam|eur|asia)[0-9]+$|^[a-z]+-[a-z]+[0-9]+$", var.database_location))
    error_message = "database_location must be a region, as in \"us-central1\", or a multi-region, as in \"nam5\"."
  }
}

variable "deployed" {
  description = "Services that exist already: only these can be given invokers. deploy.sh fills it."
  type        = set(string)
  default     = []
  nullable    = false
}

variable "domain" {
  description = "A host name whose DNS you hold, for one public URL in front of all endpoints (load balancer); empty: none."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = var.domain == "" || can(regex("^([a-z0-9-]+\\.)+[a-z]{2,}$", var.domain))
    error_message = "domain must be a host name in lower case, as in \"zantara.example.com\"."
  }
}

variable "existing_databases" {
  description = "Ids of the Firestore databases that the project has: the one that is ours is adopted, not created. deploy.sh fills it."
  type        = set(string)
  default     = []
  nullable    = false
}

variable "log_level" {
  description = "The lowest severity that the functions log."
  type        = string
  default     = "INFO"
  nullable    = false

  validation {
    condition     = contains(["DEBUG", "INFO", "WARNING", "ERROR"], var.log_level)
    error_message = "log_level must be DEBUG, INFO, WARNING or ERROR."
  }
}

variable "point_in_time_recovery" {
  description = "Keep seven days of versions of every document, to read or restore as of any minute; costs their storage."
  type        = bool
  default     = true
  nullable    = false
}

variable "project_id" {
  description = "Google Cloud project id."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id must be 6 to 30 lower-case letters, digits and hyphens: the id, not the name or number."
  }
}

variable "project_number" {
  description = "The project's number, part of every service's URL; null: looked up."
  type        = string
  default     = null

  validation {
    condition     = var.project_number == null || can(regex("^[0-9]+$", var.project_number))
    error_message = "project_number must be digits."
  }
}

variable "push_urls" {
  description = "Push endpoints of agents that run elsewhere, by the agent's name; the URL is the token's audience too."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for url in values(var.push_urls) : can(regex("^https://[^/?#]+/[^?#]*$", url))])
    error_message = "Each of push_urls must be an https URL with a path, as in \"https://agent.example.com/pubsub/push\"."
  }
  validation {
    condition     = alltrue([for agent in keys(var.push_urls) : can(regex("^[a-z][a-z0-9-]{0,20}$", agent))])
    error_message = "The names in push_urls must be at most 21 lower-case letters, digits and hyphens."
  }
}

variable "region" {
  description = "Cloud region of the functions, as in \"us-central1\"."
  type        = string
  default     = "us-central1"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region must look like \"us-central1\"."
  }
}

variable "settings" {
  description = "Per function (the folder's name): its size, more environment, and secrets (variable = Secret Manager id)."
  type = map(object({
    concurrency   = optional(number)          # requests at once in an instance, and its threads
    cpu           = optional(string)          # vCPUs
    environment   = optional(map(string), {}) # added to what hops.tf gives
    ingress       = optional(string)          # all, internal-only or internal-and-gclb
    max_instances = optional(number)
    memory        = optional(string) # as in "512Mi"
    min_instances = optional(number)
    secrets       = optional(map(string), {})
    timeout       = optional(number) # seconds
  }))
  default  = {}
  nullable = false

  validation {
    condition     = length(setsubtract(keys(var.settings), local.targets)) == 0
    error_message = "settings names what is no folder of functions/: ${join(", ", setsubtract(keys(var.settings), local.targets))}."
  }
  validation {
    condition     = alltrue([for each in values(var.settings) : can(regex("^[0-9]+(Mi|Gi)$", coalesce(each.memory, "512Mi")))])
    error_message = "memory must be as in \"512Mi\" or \"2Gi\"."
  }
  validation {
    condition     = alltrue([for each in values(var.settings) : can(tonumber(coalesce(each.cpu, "1"))) && try(tonumber(coalesce(each.cpu, "1")) >= 1, false)])
    error_message = "cpu must be 1 or more vCPUs: below that Cloud Run sends an instance one request at a time."
  }
  validation {
    condition     = alltrue([for each in values(var.settings) : coalesce(each.max_instances, 100) >= max(1, coalesce(each.min_instances, 0))])
    error_message = "max_instances must be at least 1, and no less than min_instances."
  }
  validation {
    condition     = alltrue([for each in values(var.settings) : coalesce(each.timeout, 60) >= 1 && coalesce(each.timeout, 60) <= 570])
    error_message = "timeout must lie between 1 and 570 seconds: below the acknowledgement deadline of a push, which is 600 at most, or a slow run is delivered twice at once."
  }
  validation {
    condition     = alltrue([for each in values(var.settings) : coalesce(each.concurrency, 1) >= 1 && coalesce(each.concurrency, 1) <= 1000])
    error_message = "concurrency must lie between 1 and 1000."
  }
  validation {
    condition     = alltrue([for each in values(var.settings) : contains(["all", "internal-only", "internal-and-gclb"], coalesce(each.ingress, "all"))])
    error_message = "ingress must be all, internal-only or internal-and-gclb."
  }
}

variable "sharding" {
  description = "Whether tasks are looked for by shard, which lifts the cap of 500 writes a second: off, on, or both (both sets of indexes), the step between them. See README.md."
  type        = string
  default     = "off"
  nullable    = false

  validation {
    condition     = contains(["off", "both", "on"], var.sharding)
    error_message = "sharding must be off, both or on."
  }
}
