output "buckets" {
  description = "Where images and models go, where nights are, and where code is staged."
  value       = { for name, bucket in local.buckets : name => "gs://${bucket}" }
}

output "images" {
  description = "_REPOSITORY of cloudbuild.yaml."
  value       = "${var.region}-docker.pkg.dev/${var.project}/${google_artifact_registry_repository.images.repository_id}"
}

output "build" {
  description = "Service account of the trigger that runs cloudbuild.yaml."
  value       = google_service_account.build.email
}

output "worker" {
  description = "--service_account_email of Dataflow."
  value       = google_service_account.worker.email
}

output "trainer" {
  description = "--service-account of digitmill submit."
  value       = google_service_account.trainer.email
}
