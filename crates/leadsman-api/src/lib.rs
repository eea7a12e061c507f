//! REST routes, DTOs, authentication and OpenAPI of Leadsman.
