output "bucket" {
  description = "Where images go, and where nights are."
  value       = local.bucket
}

output "images" {
  description = "_REPOSITORY of cloudbuild.yaml."
  value       = "${var.region}-docker.pkg.dev/${var.project}/${google_artifact_registry_repository.images.repository_id}"
}

output "worker" {
  description = "--service_account_email of Dataflow, --service-account of digitmill submit."
  value       = google_service_account.worker.email
}
