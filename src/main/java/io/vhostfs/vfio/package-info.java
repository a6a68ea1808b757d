/**
 * VFIO: PCI devices handed to this process, with their registers mapped and an IOMMU of their own.
 *
 * <p>What enters are PCI addresses and memory to map, what leaves are addresses of registers, IOVAs and eventfds. Everything
 * here is a control path on ordinary threads; data paths use the addresses alone.
 */
@NullMarked
package io.vhostfs.vfio;

import org.jspecify.annotations.NullMarked;
