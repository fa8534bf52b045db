# Plans by a stand-in for Google's API, with the provider's own schema: no project and no credentials.
mock_provider "google" {}

variables {
  project          = "my-project"
  repository       = "projects/my-project/locations/europe-west4/connections/c/repositories/r"
  alert_email      = "me@example.com"
  scorer           = "r/scorer@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
  model_publishers = ["user:me@example.com"]
}

run "no_job_and_no_build_writes_models" {
  command = plan

  assert {
    condition = toset([
      for grant in google_storage_bucket_iam_member.objects : grant.role
      if grant.bucket == google_storage_bucket.models.name
    ]) == toset(["roles/storage.objectViewer"])
    error_message = "a job or a build may write models"
  }

  assert {
    condition     = toset([for grant in google_storage_bucket_iam_member.publishers : grant.member]) == var.model_publishers
    error_message = "others than model_publishers may write models"
  }
}

run "the_image_of_a_night_has_a_digest" {
  command = plan

  variables {
    scorer = "r/scorer:1"
  }

  expect_failures = [var.scorer]
}

run "workers_have_an_image_that_stays" {
  command = plan

  variables {
    beam_flags = "--runner=DataflowRunner --sdk_container_image=r/worker:latest"
  }

  expect_failures = [var.beam_flags]
}
