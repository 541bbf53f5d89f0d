# What must hold of every hop, whatever agents there are: delivery, identity, dead letters.
mock_provider "google" {}

variables {
  project_id     = "zantara-test"
  project_number = "123456789012"
  push_urls      = { far = "https://agent.example.com/pubsub/push" }
}

run "every_hop" {
  assert {
    condition     = toset(keys(google_pubsub_topic.topics)) == toset(["tasks", "results", "callbacks", "ticks", "dead"])
    error_message = "The topics are not the five of the design."
  }
  assert {
    condition = alltrue([
      for sub in google_pubsub_subscription.pushes :
      sub.push_config[0].oidc_token[0].service_account_email == google_service_account.push.email
    ])
    error_message = "A push carries no OIDC token of the push account."
  }
  assert {
    condition = alltrue([
      for sub in google_pubsub_subscription.pushes :
      can(regex("^https://", sub.push_config[0].oidc_token[0].audience)) && startswith(sub.push_config[0].push_endpoint, sub.push_config[0].oidc_token[0].audience)
    ])
    error_message = "A push has no explicit audience, or one that is not its endpoint's."
  }
  assert {
    condition = alltrue([
      for name, sub in google_pubsub_subscription.pushes :
      contains(["sub-ticks", "sub-dead"], name) || try(
        sub.dead_letter_policy[0].max_delivery_attempts == 5 && sub.dead_letter_policy[0].dead_letter_topic == google_pubsub_topic.topics["dead"].id, false
      )
    ])
    error_message = "A subscription has no dead-letter policy of 5 attempts."
  }
  assert {
    condition = alltrue([
      for sub in google_pubsub_subscription.pushes :
      sub.retry_policy[0].minimum_backoff == "10s" && sub.retry_policy[0].maximum_backoff == "600s"
    ])
    error_message = "A subscription does not retry from 10 s to 600 s."
  }
  assert {
    condition = alltrue([
      for sub in concat(values(google_pubsub_subscription.pushes), [google_pubsub_subscription.dead_archive]) :
      sub.expiration_policy[0].ttl == "" && sub.message_retention_duration != null
    ])
    error_message = "A subscription expires, or has no retention."
  }
  assert {
    condition = alltrue([
      for name, hop in local.hops :
      hop.function == null || google_pubsub_subscription.pushes[name].ack_deadline_seconds > try(local.functions[hop.function].timeout, 0)
    ])
    error_message = "A function may outlive its acknowledgement deadline: it would run twice at once."
  }
  assert {
    condition = alltrue([
      for agent in local.agent_names : google_pubsub_subscription.pushes["sub-${agent}"].filter == "attributes.agent=\"${agent}\""
    ])
    error_message = "An agent's subscription does not filter for its own tasks."
  }
  assert {
    condition     = google_pubsub_subscription.dead_archive.topic == google_pubsub_topic.topics["dead"].name && length(google_pubsub_subscription.dead_archive.push_config) == 0
    error_message = "No pull subscription keeps the dead messages."
  }
  assert {
    condition = (
      google_pubsub_subscription.pushes["sub-far"].push_config[0].push_endpoint == var.push_urls["far"]
      && google_pubsub_subscription.pushes["sub-far"].push_config[0].oidc_token[0].audience == var.push_urls["far"]
    )
    error_message = "An agent that runs elsewhere is not pushed at its own URL."
  }
  assert {
    condition     = google_cloud_scheduler_job.tick.pubsub_target[0].topic_name == google_pubsub_topic.topics["ticks"].id && google_cloud_scheduler_job.tick.schedule == "* * * * *"
    error_message = "Nothing ticks once a minute."
  }
}

run "an_agent_may_not_take_the_name_of_a_hop" {
  command = plan
  variables {
    push_urls = { results = "https://agent.example.com/pubsub/push" }
  }
  expect_failures = [output.agents]
}

run "a_function_may_not_outlive_a_push" {
  command = plan
  variables {
    settings = { dispatch = { timeout = 600 } }
  }
  expect_failures = [var.settings]
}

run "a_push_goes_over_https" {
  command = plan
  variables {
    push_urls = { far = "http://agent.example.com/pubsub/push" }
  }
  expect_failures = [var.push_urls]
}
