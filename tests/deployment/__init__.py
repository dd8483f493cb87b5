"""Tests of what `azd up` deploys: templates, hooks, package, roles and the documents about them."""
