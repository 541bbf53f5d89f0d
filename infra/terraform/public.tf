# One public URL in front of all endpoints, where a domain is given: a global load balancer whose
# paths are those of the local gateway. IAM still guards every service behind it.

locals {
  # The first that matches wins.
  paths = [
    { template = "/task/{id}/redrive", prefix = null, target = "dispatch" },
    { template = "/task/{id}/callback", prefix = null, target = "dispatch" },
    { template = "/task/{id}/cancel", prefix = null, target = "cancel_task" },
    { template = null, prefix = "/task", target = "get_task" }, # /task/{id} and /tasks
    { template = null, prefix = "/account/", target = "accounts" },
    { template = null, prefix = "/dispatch", target = "dispatch" },
    { template = null, prefix = "/health", target = "dispatch" }, # which callers may ask too
    { template = null, prefix = "/openapi.json", target = "dispatch" },
  ]
  routes     = [for path in local.paths : path if contains(local.targets, path.target)]
  published  = var.domain == "" ? [] : ["public"]
  public     = { for target, kind in local.kind : target => local.service[target] if kind.clients != null && var.domain != "" }
  front_page = try(google_compute_backend_service.public["console"].id, null)
}

resource "google_compute_region_network_endpoint_group" "public" {
  for_each = local.public

  project               = var.project_id
  name                  = "zantara-${each.value}"
  region                = var.region
  network_endpoint_type = "SERVERLESS"

  cloud_run {
    service = each.value
  }

  depends_on = [google_project_service.apis]
}

resource "google_compute_backend_service" "public" {
  for_each = local.public

  project               = var.project_id
  name                  = "zantara-${each.value}"
  load_balancing_scheme = "EXTERNAL_MANAGED"
  protocol              = "HTTPS"

  backend {
    group = google_compute_region_network_endpoint_group.public[each.key].id
  }

  log_config {
    enable = false # Cloud Run logs every request already
  }
}

resource "google_compute_url_map" "public" {
  for_each = toset(local.published)

  project         = var.project_id
  name            = "zantara"
  default_service = local.front_page

  host_rule {
    hosts        = [var.domain]
    path_matcher = "endpoints"
  }

  path_matcher {
    name            = "endpoints"
    default_service = local.front_page

    dynamic "route_rules" {
      for_each = local.routes
      content {
        priority = route_rules.key + 1
        service  = google_compute_backend_service.public[route_rules.value.target].id

        match_rules {
          path_template_match = route_rules.value.template
          prefix_match        = route_rules.value.prefix
        }
      }
    }
  }
}

resource "google_compute_global_address" "public" {
  for_each = toset(local.published)

  project    = var.project_id
  name       = "zantara"
  depends_on = [google_project_service.apis]
}

resource "google_compute_managed_ssl_certificate" "public" {
  for_each = toset(local.published)

  project = var.project_id
  name    = "zantara-${substr(sha256(var.domain), 0, 8)}" # another domain, another certificate

  managed {
    domains = [var.domain]
  }

  lifecycle {
    create_before_destroy = true
  }

  depends_on = [google_project_service.apis]
}

resource "google_compute_target_https_proxy" "public" {
  for_each = toset(local.published)

  project          = var.project_id
  name             = "zantara"
  url_map          = google_compute_url_map.public[each.key].id
  ssl_certificates = [google_compute_managed_ssl_certificate.public[each.key].id]
}

resource "google_compute_global_forwarding_rule" "public" {
  for_each = toset(local.published)

  project               = var.project_id
  name                  = "zantara"
  load_balancing_scheme = "EXTERNAL_MANAGED"
  ip_address            = google_compute_global_address.public[each.key].id
  port_range            = "443"
  target                = google_compute_target_https_proxy.public[each.key].id
}
