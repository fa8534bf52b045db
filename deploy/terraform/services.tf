# The APIs that all of this speaks with; they stay when this goes, for others may use them.
resource "google_project_service" "used" {
  for_each = toset([
    "aiplatform",
    "artifactregistry",
    "bigquery",
    "cloudbuild",
    "cloudscheduler",
    "compute",
    "dataflow",
    "iam",
    "logging",
    "monitoring",
    "storage",
  ])
  service            = "${each.key}.googleapis.com"
  disable_on_destroy = false
}
