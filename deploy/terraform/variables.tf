variable "project" {
  description = "Google Cloud project."
  type        = string
}

variable "region" {
  description = "Region of buckets, builds and jobs."
  type        = string
  default     = "europe-west4"
}

variable "repository" {
  description = "Cloud Build's connected repository: projects/P/locations/R/connections/C/repositories/N."
  type        = string
}

variable "branch" {
  description = "Branch that the nightly build takes."
  type        = string
  default     = "main"
}

variable "scorer" {
  description = "Image that scores a night, by digest: .ci/images prints it."
  type        = string

  validation {
    condition     = can(regex("@sha256:[0-9a-f]{64}$", var.scorer))
    error_message = "Give scorer by digest, as REGISTRY/scorer@sha256:…: a tag could come to mean another image."
  }
}

variable "model_publishers" {
  description = "Who may write models, as user:me@example.com or group:…; jobs and builds cannot change them."
  type        = set(string)
  default     = []
}

variable "schedule" {
  description = "When the night is scored, as cron has it."
  type        = string
  default     = "0 2 * * *"
}

variable "time_zone" {
  description = "Time zone of the schedule."
  type        = string
  default     = "Etc/UTC"
}

variable "keep_incoming_days" {
  description = "Days after which images that came in are deleted; 0 keeps them."
  type        = number
  default     = 0
}

variable "max_failure_rate" {
  description = "Share of images that may fail before the build does."
  type        = string
  default     = "0.05"
}

variable "fail_on" {
  description = "Gates of the nightly run, separated by spaces, as drift>0.25 accepted<0.9; empty for none."
  type        = string
  default     = ""
}

variable "beam_flags" {
  description = "_BEAM_FLAGS of the nightly build, as --runner=DataflowRunner and what goes with it; empty scores in the build."
  type        = string
  default     = ""

  validation {
    condition     = !can(regex("image[= ][^ ]+:latest( |$)", var.beam_flags))
    error_message = "Give images by digest or by a tag that stays: latest comes to mean another image."
  }
}

variable "alert_email" {
  description = "Who is notified when a build fails."
  type        = string
}
