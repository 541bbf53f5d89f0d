# The database of tasks and money, and the indexes that its queries need.

locals {
  # Composite indexes, fields in order, `-` for descending. Every query of the code with more than
  # one field needs them: the emulator never asks, the cloud refuses. Firestore merges those with
  # the same order behind their equalities, so agent and status together need none of their own.
  indexes = merge(
    {
      tasks-live  = { collection = "tasks", fields = ["status", "attempts"] }    # the console's pulse
      tasks-purse = { collection = "tasks", fields = ["purse", "open", "held"] } # SUM(held)
    },
    local.plain ? { for name, fields in local.by_time : name => { collection = "tasks", fields = fields } } : {},
    local.sharded ? {
      for name, fields in merge(local.by_time, { tasks-created = ["-createdAt"], tasks-wake = ["wakeAt"] }) :
      "${name}-sharded" => { collection = "tasks", fields = concat(["shard"], fields) }
    } : {},
  )
  by_time = {
    tasks-account = ["account", "-createdAt"]
    tasks-agent   = ["agent", "-createdAt"]
    tasks-owner   = ["owner", "-createdAt"]
    tasks-status  = ["status", "-createdAt"]
  }

  # A time only grows, and such an index caps its collection at 500 writes a second. Behind the
  # task's shard it is 500 for each of 30; but one index without the shard caps them all.
  plain   = var.sharding != "on"
  sharded = var.sharding != "off"

  # Single-field indexes; every other field is exempt, for each index costs storage.
  searched = {
    dead_letters = ["recordedAt"]
    ledgers      = ["wakeAt"]
    tasks        = local.plain ? ["createdAt", "wakeAt"] : []
  }
  exempt = ["accounts", "dead_letters", "ledgers", "tasks"]
  expire = ["dead_letters", "tasks"] # by TTL, at their field expireAt
}

import {
  for_each = setintersection(var.existing_databases, [var.database])
  to       = google_firestore_database.this
  id       = local.database_name
}

resource "google_firestore_database" "this" {
  project     = var.project_id
  name        = var.database
  location_id = coalesce(var.database_location, var.region)
  type        = "FIRESTORE_NATIVE"

  concurrency_mode                  = "OPTIMISTIC" # compare-and-set throughout; locks would queue
  app_engine_integration_mode       = "DISABLED"
  delete_protection_state           = "DELETE_PROTECTION_ENABLED"
  deletion_policy                   = "ABANDON" # `terraform destroy` leaves the data; the next apply adopts it
  point_in_time_recovery_enablement = var.point_in_time_recovery ? "POINT_IN_TIME_RECOVERY_ENABLED" : "POINT_IN_TIME_RECOVERY_DISABLED"

  depends_on = [google_project_service.apis]

  lifecycle {
    ignore_changes = [location_id] # an adopted database stays where it is
  }
}

resource "google_firestore_index" "indexes" {
  for_each = local.indexes

  project    = var.project_id
  database   = google_firestore_database.this.name
  collection = each.value.collection

  dynamic "fields" {
    for_each = each.value.fields
    content {
      field_path = trimprefix(fields.value, "-")
      order      = startswith(fields.value, "-") ? "DESCENDING" : "ASCENDING"
    }
  }

  timeouts {
    create = "4h" # the functions that need it are deployed only once it is built over all tasks
  }
}

resource "google_firestore_field" "exempt" {
  for_each = toset(local.exempt)

  project    = var.project_id
  database   = google_firestore_database.this.name
  collection = each.key
  field      = "*"

  index_config {} # none
}

resource "google_firestore_field" "searched" {
  for_each = merge([
    for collection, fields in local.searched : {
      for field in fields : "${collection}.${field}" => { collection = collection, field = field }
    }
  ]...)

  project    = var.project_id
  database   = google_firestore_database.this.name
  collection = each.value.collection
  field      = each.value.field

  index_config {
    indexes {
      order       = "ASCENDING"
      query_scope = "COLLECTION"
    }
    indexes {
      order       = "DESCENDING"
      query_scope = "COLLECTION"
    }
  }
}

resource "google_firestore_field" "expire" {
  for_each = toset(local.expire)

  project    = var.project_id
  database   = google_firestore_database.this.name
  collection = each.key
  field      = "expireAt"

  index_config {}
  ttl_config {}
}
